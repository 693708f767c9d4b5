# The template is the only source of truth: this module hands it over, with its parameters.

variable "name" {
  description = "Name of the stack: one for each partner. The commands of the operator take it as --stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,127}$", var.name))
    error_message = "name must begin with a letter and have at most 128 letters, digits and hyphens."
  }
}

variable "template_url" {
  description = "URL of the packaged template in S3, in the stack's region. `cargo xtask package --bucket BUCKET` uploads it and prints the URL."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.template_url, "https://")
    error_message = "template_url must begin with https://. `cargo xtask package --bucket BUCKET` prints it."
  }
}

variable "tags" {
  description = "Tags of the stack. CloudFormation gives them to its resources."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "iam_role_arn" {
  description = "Role with which CloudFormation creates the resources. Without it, CloudFormation uses your permissions."
  type        = string
  default     = null
}

resource "aws_cloudformation_stack" "this" {
  name         = var.name
  template_url = var.template_url
  parameters   = local.parameters
  iam_role_arn = var.iam_role_arn
  tags         = var.tags

  # Roles for the functions; the transform of SAM.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
}
