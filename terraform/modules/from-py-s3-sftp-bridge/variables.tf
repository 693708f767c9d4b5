# The predecessor's variables, with its names and defaults. Nothing is dropped in silence: what is ignored says why, and
# `terraform plan` warns if it is set.

variable "integration_name" {
  description = "As there. It is part of the stack's name, and of the names of the bucket, the key object and the KMS alias that are there already."
  type        = string
  nullable    = false
}

variable "function_prefix" {
  description = "As there. The stack's name begins with it."
  type        = string
  default     = "s3-sftp-bridge"
  nullable    = false
}

variable "ssh_key_file" {
  description = "As there: the last part of the key object's name. The object must be there already."
  type        = string
  nullable    = false
}

variable "sftp_host" {
  description = "As there: the parameter SftpHost."
  type        = string
  nullable    = false
}

variable "sftp_port" {
  description = "As there: the parameter SftpPort."
  type        = number
  default     = 22
  nullable    = false
}

variable "sftp_user" {
  description = "As there: the parameter SftpUser."
  type        = string
  nullable    = false
}

variable "sftp_location" {
  description = "As there: the parameter SftpLocation."
  type        = string
  nullable    = false
}

variable "aws_account_id" {
  description = "As there before March 2017. It is part of the names of both buckets. If it is null, the account of the provider."
  type        = string
  default     = null
}

variable "ssh_key_path" {
  description = "Ignored: Terraform uploads no private key any more, because it would be in the state. The object that is there is used, or the secret in sftp_secret_id."
  type        = string
  default     = null
}

variable "lambda_function_package_path" {
  description = "Ignored: the packaged template names the code of its functions."
  type        = string
  default     = null
}

variable "lambda_description" {
  description = "Ignored: the template describes its functions. Use tags to mark the stack."
  type        = string
  default     = null
}

variable "retry_schedule_expression" {
  description = "Ignored: there is no queue to empty on a schedule. Each step retries by itself, for three days if the partner cannot be reached."
  type        = string
  default     = null
}

variable "retry_scheduled_event_description" {
  description = "Ignored: there is no scheduled event."
  type        = string
  default     = null
}
