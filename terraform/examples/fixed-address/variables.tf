variable "region" {
  description = "Region of the stack, the VPC, the secret and the packaged template."
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

variable "partner_port" {
  description = "The partner's port."
  type        = number
  default     = 22
}

variable "secret_id" {
  description = "Name or ARN of the secret that has the private key."
  type        = string
}

variable "alarm_topic_arn" {
  description = "The SNS topic that the alarms notify."
  type        = string
}
