variable "MODE" { default = "hcl" }
target "app" {
  args = { FROM = MODE }
  tags = ["app:bake"]
}
target "test" {
  inherits = ["app"]
  target   = "test"
}
group "all" { targets = ["default", "test"] }
