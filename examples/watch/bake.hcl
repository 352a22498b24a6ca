variable "BUSYBOX_DIR" {
  default = "/bin"
}

target "default" {
  contexts = {
    host = BUSYBOX_DIR
  }
  output = ["type=local,dest=out"]
}
