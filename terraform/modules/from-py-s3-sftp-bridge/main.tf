data "aws_caller_identity" "current" {}

locals {
  account_id = coalesce(var.aws_account_id, data.aws_caller_identity.current.account_id)

  # As the predecessor named them.
  name           = "${var.function_prefix}-${var.integration_name}"
  bucket_name    = "${local.name}-${local.account_id}"
  ssh_key_object = "s3-sftp-bridge-ssh-keys-${local.account_id}/${var.integration_name}/${var.ssh_key_file}"

  is_key_looked_up = var.kms_key_arns == null && var.sftp_secret_id == null
}

# The key object is encrypted with it.
data "aws_kms_alias" "configuration_key" {
  count = local.is_key_looked_up ? 1 : 0
  name  = "alias/${local.name}"
}

module "bridge" {
  source = "../s3-sftp-bridge"

  name         = local.name
  template_url = var.template_url
  tags         = var.tags

  sftp_host              = var.sftp_host
  sftp_port              = var.sftp_port
  sftp_user              = var.sftp_user
  sftp_location          = var.sftp_location
  sftp_trusted_host_keys = var.sftp_trusted_host_keys
  sftp_s3_ssh_key        = var.sftp_secret_id == null ? local.ssh_key_object : null
  sftp_secret_id         = var.sftp_secret_id
  kms_key_arns           = local.is_key_looked_up ? data.aws_kms_alias.configuration_key[*].target_key_arn : var.kms_key_arns
  bucket_name            = local.bucket_name
  sftp_publish           = var.sftp_publish
  max_connections        = var.max_connections
  alarm_topic_arn        = var.alarm_topic_arn
}

# Warnings of `terraform plan`; they stop nothing.
check "ssh_key_path" {
  assert {
    condition     = var.ssh_key_path == null
    error_message = "ssh_key_path is ignored, and can be removed: the key object that is there already is used."
  }
}

check "lambda_function_package_path" {
  assert {
    condition     = var.lambda_function_package_path == null
    error_message = "lambda_function_package_path is ignored, and can be removed: the packaged template names the code."
  }
}

check "lambda_description" {
  assert {
    condition     = var.lambda_description == null
    error_message = "lambda_description is ignored, and can be removed: use tags to mark the stack."
  }
}

check "retry_schedule_expression" {
  assert {
    condition     = var.retry_schedule_expression == null
    error_message = "retry_schedule_expression is ignored, and can be removed: each step retries by itself."
  }
}

check "retry_scheduled_event_description" {
  assert {
    condition     = var.retry_scheduled_event_description == null
    error_message = "retry_scheduled_event_description is ignored, and can be removed: there is no scheduled event."
  }
}
