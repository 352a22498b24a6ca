variable "BUSYBOX_DIR" {
  default = "/bin"
}

group "default" {
  targets = ["server", "client"]
}

target "_common" {
  contexts = {
    host = BUSYBOX_DIR
  }
}

target "server" {
  inherits = ["_common"]
  target   = "server"
  output   = ["type=local,dest=out/server"]
}

target "client" {
  inherits = ["_common"]
  target   = "client"
  output   = ["type=local,dest=out/client"]
}
