variable "BUSYBOX_DIR" {
  default = "/bin"
}

target "default" {
  dockerfile-inline = <<-EOT
    FROM scratch AS work
    COPY --from=host busybox /bin/busybox
    COPY name /name
    RUN ["/bin/busybox", "sh", "-c", "echo Hello, $(busybox cat /name)! > /greeting"]

    FROM scratch
    COPY --from=work /greeting /greeting
  EOT
  contexts = {
    host = BUSYBOX_DIR
  }
  output = ["type=local,dest=out"]
}
