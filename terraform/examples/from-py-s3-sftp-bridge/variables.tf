variable "region" {
  description = "Region of the predecessor's bucket, and of the packaged template."
  type        = string
  default     = "eu-west-1"
}

variable "integration_name" {
  description = "integration_name of the predecessor."
  type        = string
}

variable "bucket_name" {
  description = "The predecessor's bucket. Terraform imports it by this name, and must know it before it plans."
  type        = string
}

variable "old_function_arn" {
  description = "ARN of the predecessor's function."
  type        = string
}

variable "is_old_bridge_notified" {
  description = "Whether the old bridge delivers, too."
  type        = bool
  default     = true
}

variable "template_url" {
  description = "URL of the packaged template. `cargo xtask package --bucket BUCKET` prints it."
  type        = string
}

variable "trusted_host_keys" {
  description = "The partner's host keys, as the partner told them."
  type        = list(string)
}

variable "alarm_topic_arn" {
  description = "The SNS topic that the alarms notify."
  type        = string
}
