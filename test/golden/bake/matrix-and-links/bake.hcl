variable "VERSIONS" {
  type    = list(string)
  default = ["1.20", "1.21"]
}

function "image" {
  params          = [name]
  variadic_params = parts
  result          = "example.com/${name}:${join("-", parts)}"
}

group "default" {
  targets = ["app", "tools"]
}

target "_common" {
  args   = { GO = "none", MODE = "release" }
  labels = { team = "build" }
}

target "base" {
  inherits = ["_common"]
  output   = ["type=docker"]
  target   = "base"
}

target "app" {
  inherits = ["_common"]
  name     = "app-${sanitize(go)}-${flavour.name}"
  matrix = {
    go      = VERSIONS
    flavour = [{ name = "slim", cgo = false }, { name = "full", cgo = true }]
  }
  contexts = { base = "target:base" }
  args     = { GO = go, CGO = flavour.cgo ? 1 : 0 }
  tags     = [image("app", go, flavour.name)]
}

target "tools" {
  description = "tools for ${upper("all")}"
  tags        = [for t in ["lint", "test"] : image(t, "latest")]
  args        = { APP = target.base.target }
}
