# llbake builds, packs and checks itself: `npm run demo`, or `node dist/cli.js --allow fs.read=/bin` after
# `npm run build`. Everything comes from this folder and the host's busybox, which lies outside of it and so takes the
# grant; no registry is needed. What is made lands in out/.

variable "VERSION" {
  description = "Version the package must carry"
  default     = "0.1.0"
}

variable "BUSYBOX_DIR" {
  description = "Folder with a statically linked busybox"
  default     = "/bin"
}

variable "REGISTRY" {
  description = "Registry and path to push the images to, such as localhost:5000/tools; empty pushes nothing"
  default     = ""
}

function "tag" {
  params = [name]
  result = "${REGISTRY == "" ? "" : "${REGISTRY}/"}${name}:${VERSION}"
}

# An archive always; a push only when there is somewhere to push to.
function "outputs" {
  params = [name]
  result = concat(
    ["type=oci,dest=out/${name}.oci.tar"],
    REGISTRY == "" ? [] : ["type=registry"],
  )
}

group "default" {
  targets = ["bundle", "image", "test"]
}

target "_common" {
  args = {
    VERSION = VERSION
  }
  labels = {
    "org.opencontainers.image.title"    = "llbake"
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.licenses" = "Apache-2.0"
  }
}

# A small system FROM scratch: busybox from the host and its applets. Other targets link to it.
target "base" {
  dockerfile = "docker/base.Dockerfile"
  contexts = {
    host = BUSYBOX_DIR
  }
}

# The stages of docker/llbake.Dockerfile: `pack` is shared by all of them and runs once.
target "_llbake" {
  inherits   = ["_common"]
  dockerfile = "docker/llbake.Dockerfile"
  contexts = {
    base = "target:base"
  }
}

# The installed package as a folder: out/llbake/lib/llbake/cli.js runs on any Node.
target "bundle" {
  inherits = ["_llbake"]
  target   = "bundle"
  output   = ["type=local,dest=out/llbake"]
}

# The package as images: `llbake` can be looked around in, `llbake-carrier` is for COPY --from alone.
target "image" {
  inherits = ["_llbake"]
  name     = "image-${flavor}"
  matrix = {
    flavor = ["shell", "carrier"]
  }
  target = flavor
  tags   = [tag(flavor == "shell" ? "llbake" : "llbake-${flavor}")]
  output = outputs(flavor == "shell" ? "llbake" : "llbake-${flavor}")
}

# Checks the bundle as a user gets it; fails the build when something is missing or changed.
target "test" {
  inherits   = ["_common"]
  dockerfile = "docker/check.Dockerfile"
  contexts = {
    base   = "target:base"
    bundle = "target:bundle"
  }
  output = ["type=cacheonly"]
}
