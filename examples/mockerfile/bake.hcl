variable "BUSYBOX_DIR" {
  default = "/bin"
}

# Two packages, each an archive of what it puts into an image.
target "packages" {
  dockerfile-inline = <<-EOT
    FROM scratch AS work
    COPY --from=host busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
    ENV PATH=/bin
    RUN mkdir -p usr/bin && printf '#!/bin/sh\ncat /etc/greeting\n' > usr/bin/greet && chmod +x usr/bin/greet
    RUN mkdir -p etc && echo 'Hello from a Mockerfile' > etc/greeting
    RUN mkdir /out && tar -cf /out/greet.tar usr/bin/greet && tar -cf /out/greeting-data.tar etc/greeting

    FROM scratch
    COPY --from=work /out /
  EOT
  contexts = {
    host = BUSYBOX_DIR
  }
}

target "default" {
  dockerfile = "mockerfile.yaml"
  contexts = {
    packages = "target:packages"
  }
  output = ["type=local,dest=out"]
}
