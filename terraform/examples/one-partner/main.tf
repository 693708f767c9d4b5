# One partner; the stack creates the bucket. `terraform output deliver_below` says where to upload.

# Only the secret's name is here. Its value would be in the state, so it is put there by hand:
#   aws secretsmanager put-secret-value --secret-id s3-sftp-bridge/acme --secret-string file://partner_key
resource "aws_secretsmanager_secret" "acme" {
  name        = "s3-sftp-bridge/acme"
  description = "Private key for acme's SFTP server"
}

# Subscribe to it. Without a subscription, the alarms reach nobody.
resource "aws_sns_topic" "on_call" {
  name = "s3-sftp-bridge-on-call"
}

module "acme" {
  source = "../../modules/s3-sftp-bridge"

  name         = "sftp-acme"
  template_url = var.template_url

  sftp_host              = "sftp.partner.example"
  sftp_user              = "acme"
  sftp_location          = "incoming"
  sftp_trusted_host_keys = var.trusted_host_keys
  sftp_secret_id         = aws_secretsmanager_secret.acme.name
  key_prefix             = "acme/"
  max_connections        = var.max_connections
  alarm_topic_arn        = aws_sns_topic.on_call.arn
}

output "deliver_below" {
  description = "Upload below this to deliver."
  value       = module.acme.deliver_below
}

output "executions_url" {
  description = "The deliveries in the console."
  value       = module.acme.executions_url
}
