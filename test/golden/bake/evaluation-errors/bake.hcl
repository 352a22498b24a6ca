variable "TAG" { default = "1" }
target "default" {
  tags    = ["app:${TAGG}"]
  args    = { A = lowr("x"), B = 1 }
  context = target.defualt.context
  output  = "type=local"
  secret  = ["id=x,evn=Y"]
}
target "other" {
  platforms = [null]
  pull      = "maybe"
  tgas      = []
}
