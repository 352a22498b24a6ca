variable "BUSYBOX_DIR" {
  default = "/bin"
}

variable "VERSION" {
  description = "Version to build, as major.minor.patch"
  default     = "1.2.3"
  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", VERSION))
    error_message = "VERSION has the form major.minor.patch."
  }
}

variable "ARCHIVE" {
  description = "Whether to write an image archive, too"
  default     = false
}

# "1.2.3" gives notes:1.2.3, notes:1.2 and notes:1.
function "tags" {
  params = [name, version]
  result = [
    for count in [3, 2, 1] : "${name}:${join(".", slice(split(".", version), 0, count))}"
  ]
}

function "outputs" {
  params = [name]
  result = concat(
    ["type=local,dest=out/${name}"],
    ARCHIVE ? ["type=oci,dest=out/${name}.oci.tar"] : [],
  )
}

target "default" {
  args = {
    VERSION = VERSION
    TAGS    = join(" ", tags("notes", VERSION))
  }
  contexts = {
    host = BUSYBOX_DIR
  }
  tags   = tags("notes", VERSION)
  output = outputs("notes")
}
