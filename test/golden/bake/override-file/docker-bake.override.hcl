name = "from-override"
group "default" { targets = ["a", "b"] }
target "a" {
  args = { TWO = "two" }
}
target "b" {}
