variable "BUSYBOX_DIR" {
  default = "/bin"
}

target "default" {
  dockerfile = "Ickfile"
  contexts = {
    host = BUSYBOX_DIR
  }
  output = ["type=local,dest=out"]
}
