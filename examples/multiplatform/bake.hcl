variable "BUSYBOX_DIR" {
  default = "/bin"
}

# A folder with ARCH/busybox for other processors; `node ../../scripts/setup.mjs --tests` fetches them.
variable "FOREIGN_DIR" {
  default = "../../.cache/foreign"
}

group "default" {
  targets = ["native", "emulated", "cross"]
}

# The tools of all builds, for the processor of this machine. Built because others link to it.
target "tools" {
  context = "tools"
  contexts = {
    host = BUSYBOX_DIR
  }
}

target "_app" {
  contexts = {
    tools   = "target:tools"
    host    = BUSYBOX_DIR
    foreign = FOREIGN_DIR
  }
}

# For this machine's processor.
target "native" {
  inherits = ["_app"]
  target   = "run"
  args     = { BUSYBOX = "host" }
  output   = ["type=local,dest=out/native"]
}

# For other processors: QEMU runs the RUN of the stage "run-on".
target "emulated" {
  inherits  = ["_app"]
  target    = "run"
  args      = { BUSYBOX = "foreign" }
  platforms = ["linux/arm64", "linux/riscv64"]
  output    = ["type=local,dest=out/emulated"]
}

# One image for four platforms. Nothing is emulated: all that runs, runs in stages for this machine's processor.
target "cross" {
  inherits  = ["_app"]
  target    = "image"
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]
  output    = ["type=oci,dest=out/cross.oci.tar"]
}
