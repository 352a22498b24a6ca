variable "BUSYBOX_DIR" {
  default = "/bin"
}

target "default" {
  name       = item
  matrix     = { item = ["server", "client"] }
  dockerfile = "${item}.dockerfile"
  contexts = {
    host = BUSYBOX_DIR
  }
  output = ["type=local,dest=out/${item}"]
}
