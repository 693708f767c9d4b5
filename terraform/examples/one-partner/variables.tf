variable "region" {
  description = "Region of the stack, the secret and the packaged template."
  type        = string
  default     = "eu-central-1"
}

variable "template_url" {
  description = "URL of the packaged template. `cargo xtask package --bucket BUCKET` prints it."
  type        = string
}

variable "trusted_host_keys" {
  description = "The partner's host keys, as the partner told them: ssh-ed25519 AAAA..., or SHA256:..."
  type        = list(string)
}

variable "max_connections" {
  description = "Connections that the partner allows. A new account with a small concurrency quota needs 0."
  type        = number
  default     = 10
}
