variable "BUSYBOX_DIR" {
  default = "/bin"
}

group "default" {
  targets = ["app", "report"]
}

# Not asked for by name: built because others link to it, and written nowhere.
target "base" {
  context = "base"
  contexts = {
    host = BUSYBOX_DIR
  }
}

target "app" {
  context = "app"
  contexts = {
    base = "target:base"
  }
  output = ["type=oci,dest=out/app.oci.tar"]
  tags   = ["example/app:latest"]
}

# Reads the result of another target as files.
target "report" {
  context = "report"
  contexts = {
    base = "target:base"
    app  = "target:app"
  }
  output = ["type=local,dest=out"]
}
