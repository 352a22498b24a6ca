target "default" {
  args = {
    plain   = "a${1}b${true}c"
    escaped = "$${a} %%{b} $ % \u00e9\t\"\\"
    strip   = "x  ${~ "y" ~}  z"
    if      = "%{ if 1 < 2 }yes%{ else }no%{ endif }"
    for     = "%{ for k, v in { b = 2, a = 1 } }${k}=${v};%{ endfor }"
    heredoc = <<EOT
  kept
    indent
EOT
    flush = <<-EOT
      first
        second ${"in" ~}

      %{ for x in ["a", "b"] ~}
      - ${x}
      %{ endfor ~}
    EOT
  }
}
