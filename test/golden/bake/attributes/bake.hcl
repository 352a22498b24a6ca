# One target with every attribute.
target "default" {
  description       = "all of them"
  annotations       = ["index:org.opencontainers.image.title=$${name}"]
  attest            = ["type=sbom", { type = "provenance", mode = "max" }]
  context           = "./src/../app/"
  contexts          = { alpine = "docker-image://alpine:3", lib = "../lib" }
  dockerfile        = "build/Dockerfile"
  dockerfile-inline = "FROM a\nRUN echo $${HOME} %%{x}\n"
  args              = { N = 1.50, B = true, S = "$${x}", NONE = null, BIG = 123456789012345678901234567890 }
  labels            = { "a.b" = "<&>" }
  tags              = ["example.com/app:1", "example.com/app:1", ""]
  cache-from        = ["example.com/cache,example.com/other", "type=local,src=c", { type = "gha", SCOPE = "x" }]
  cache-to          = ["type=inline"]
  target            = ""
  secret            = ["id=a,env=A", { id = "b", src = "b.txt" }, "type=env,id=c,src=C"]
  ssh               = ["default", "key=a,b"]
  platforms         = ["linux/amd64", "linux/arm64", "linux/amd64"]
  output            = ["out", "-", "type=image,\"name=a,b\",push=true", { type = "oci", dest = "o.tar" }]
  pull              = "true"
  no-cache          = false
  network           = "host"
  no-cache-filter   = ["a", "b", "a"]
  shm-size          = "64m"
  ulimits           = ["nofile=1024:2048"]
  resources         = { memory = "1g", cpu-shares = 512, other = 1 }
  call              = "check"
  entitlements      = ["security.insecure"]
  extra-hosts       = { h = "10.0.0.1" }
  policy            = ["filename=p.rego,strict=true,log-level=warn"]
}
