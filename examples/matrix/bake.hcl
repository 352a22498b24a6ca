variable "BUSYBOX_DIR" {
  default = "/bin"
}

# Four targets: page-en-plain, page-en-loud, page-fr-plain, page-fr-loud. The group "page" stands for all of them.
target "page" {
  name = "page-${language.code}-${style}"
  matrix = {
    language = [
      { code = "en", word = "Hello" },
      { code = "fr", word = "Bonjour" },
    ]
    style = ["plain", "loud"]
  }
  target = style
  args = {
    WORD = language.word
  }
  contexts = {
    host = BUSYBOX_DIR
  }
  output = ["type=local,dest=out/${language.code}/${style}"]
}

group "default" {
  targets = ["page"]
}
