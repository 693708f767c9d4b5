# What the predecessor did not have. For all other parameters, call the module s3-sftp-bridge yourself: main.tf shows how.

variable "template_url" {
  description = "URL of the packaged template, as in the module s3-sftp-bridge."
  type        = string
  nullable    = false
}

variable "sftp_trusted_host_keys" {
  description = "The partner's host keys: the parameter SftpTrustedHostKeys. The predecessor checked none."
  type        = list(string)
  nullable    = false
}

variable "kms_key_arns" {
  description = "The KMS keys that encrypt the key object and the uploads: the parameter KmsKeyArns. If it is null, the key of the predecessor, which is found by its alias."
  type        = list(string)
  default     = null
}

variable "sftp_secret_id" {
  description = "A secret with the private key, instead of the key object: the parameter SftpSecretId."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "The topic for alarms: the parameter AlarmTopicArn. The predecessor raised none."
  type        = string
  default     = null
}

variable "max_connections" {
  description = "The parameter MaxConnections. A new account with a small concurrency quota needs 0."
  type        = number
  default     = null
}

variable "sftp_publish" {
  description = "The parameter SftpPublish. The predecessor wrote to the final name, which is direct here."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the stack."
  type        = map(string)
  default     = {}
  nullable    = false
}
