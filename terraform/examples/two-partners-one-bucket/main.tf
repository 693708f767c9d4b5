# Two partners get files from one bucket, which is not the stacks'. Each stack delivers what is below its own prefix.

resource "aws_s3_bucket" "outbox" {
  bucket = var.bucket_name
}

resource "aws_s3_bucket_versioning" "outbox" {
  bucket = aws_s3_bucket.outbox.id

  versioning_configuration {
    status = "Enabled"
  }
}

# Without it nothing is ever delivered. It replaces the bucket's whole notification configuration, so there must be only
# one resource of this type for a bucket: what else the bucket notifies belongs in here, too.
resource "aws_s3_bucket_notification" "outbox" {
  bucket      = aws_s3_bucket.outbox.id
  eventbridge = true
}

# The bucket's objects and the secrets are encrypted with this key. Its default policy lets the policies of roles decide.
resource "aws_kms_key" "outbox" {
  description         = "Objects of ${var.bucket_name}, and the partners' secrets"
  enable_key_rotation = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "outbox" {
  bucket = aws_s3_bucket.outbox.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.outbox.arn
    }
  }
}

# Their values are put there by hand, so that no key is in the state.
resource "aws_secretsmanager_secret" "partner" {
  for_each = var.partners

  name       = "s3-sftp-bridge/${each.key}"
  kms_key_id = aws_kms_key.outbox.arn
}

module "partner" {
  source   = "../../modules/s3-sftp-bridge"
  for_each = var.partners

  name         = "sftp-${each.key}"
  template_url = var.template_url

  sftp_host              = each.value.host
  sftp_user              = each.value.user
  sftp_trusted_host_keys = each.value.trusted_host_keys
  sftp_secret_id         = aws_secretsmanager_secret.partner[each.key].name
  max_connections        = each.value.max_connections
  bucket_name            = aws_s3_bucket.outbox.id
  key_prefix             = "${each.key}/"
  sftp_strip_prefix      = "${each.key}/"
  kms_key_arns           = [aws_kms_key.outbox.arn]
  alarm_topic_arn        = var.alarm_topic_arn
}

output "deliver_below" {
  description = "Where to upload for each partner."
  value       = { for name, partner in module.partner : name => partner.deliver_below }
}
