variable "region" {
  description = "Region of the stacks, the bucket and the packaged template."
  type        = string
  default     = "eu-central-1"
}

variable "template_url" {
  description = "URL of the packaged template. `cargo xtask package --bucket BUCKET` prints it."
  type        = string
}

variable "bucket_name" {
  description = "Name of the bucket that both partners are served from."
  type        = string
}

variable "alarm_topic_arn" {
  description = "The SNS topic that the alarms notify."
  type        = string
}

variable "partners" {
  description = "The partners by name. The name is part of the stack's name, and the prefix of the objects for this partner."

  type = map(object({
    host              = string
    user              = string
    trusted_host_keys = list(string)
    max_connections   = optional(number)
  }))

  validation {
    condition     = alltrue([for name, _ in var.partners : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "The names in partners must begin with a letter, and have small letters, digits and hyphens."
  }
}
