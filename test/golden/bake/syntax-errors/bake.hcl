target "a" {
  tags = ["x"
  args = {}
}
target "b" {
  context = 'x'
  context = "y"
  context = "z"
}
target "c" { context = "a" dockerfile = "b" }
variable {
