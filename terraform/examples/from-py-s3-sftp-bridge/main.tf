# The predecessor's bucket with the new bridge. docs/migrating.md says in which order this is applied, and what must be
# taken out of the predecessor's state first.

data "aws_caller_identity" "current" {}

locals {
  name   = "s3-sftp-bridge-${var.integration_name}"
  bucket = "${local.name}-${data.aws_caller_identity.current.account_id}"
}

# From now on this state owns the bucket. Nothing about it is changed.
import {
  to = aws_s3_bucket.events
  id = var.bucket_name
}

resource "aws_s3_bucket" "events" {
  bucket = var.bucket_name

  tags = {
    Name        = local.bucket
    Integration = var.integration_name
  }

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = var.bucket_name == local.bucket
      error_message = "bucket_name is ${var.bucket_name}, but the predecessor's bucket for this integration and account is ${local.bucket}."
    }
  }
}

import {
  to = aws_s3_bucket_notification.events
  id = var.bucket_name
}

# One resource has the whole notification configuration. At first both bridges deliver. When the new one has delivered,
# set is_old_bridge_notified to false.
resource "aws_s3_bucket_notification" "events" {
  bucket      = aws_s3_bucket.events.id
  eventbridge = true

  dynamic "lambda_function" {
    for_each = var.is_old_bridge_notified ? [var.old_function_arn] : []

    content {
      lambda_function_arn = lambda_function.value
      events              = ["s3:ObjectCreated:*"]
    }
  }
}

module "bridge" {
  source = "../../modules/from-py-s3-sftp-bridge"

  integration_name = var.integration_name
  ssh_key_file     = "mykey.pem"
  sftp_host        = "sftp.example.com"
  sftp_port        = 2222
  sftp_user        = "user"
  sftp_location    = "share"

  template_url           = var.template_url
  sftp_trusted_host_keys = var.trusted_host_keys
  alarm_topic_arn        = var.alarm_topic_arn
}

output "name" {
  description = "Name of the stack, for --stack."
  value       = module.bridge.name
}
