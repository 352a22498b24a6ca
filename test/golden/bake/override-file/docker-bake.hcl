name = "from-hcl"
group "default" { targets = ["a"] }
target "a" {
  args = { ONE = name, TWO = "2" }
  tags = ["a"]
}
