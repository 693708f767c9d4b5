# For a partner that admits only known addresses: the functions that connect are in a VPC, and the partner sees the
# address of its NAT gateway.

data "aws_availability_zones" "available" {
  state = "available"
}

resource "aws_vpc" "this" {
  cidr_block           = "10.90.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "public" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.90.0.0/24"
  availability_zone = data.aws_availability_zones.available.names[0]
}

resource "aws_subnet" "private" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.90.1.0/24"
  availability_zone = data.aws_availability_zones.available.names[0]
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "public" {
  subnet_id      = aws_subnet.public.id
  route_table_id = aws_route_table.public.id
}

# The address that the partner admits. If it is destroyed, the partner has to admit a new one.
resource "aws_eip" "partner_sees" {
  domain = "vpc"

  lifecycle {
    prevent_destroy = true
  }
}

# One gateway is one address. If its zone fails, files wait until it is back.
resource "aws_nat_gateway" "this" {
  allocation_id = aws_eip.partner_sees.id
  subnet_id     = aws_subnet.public.id
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.this.id
  }
}

resource "aws_route_table_association" "private" {
  subnet_id      = aws_subnet.private.id
  route_table_id = aws_route_table.private.id
}

# Free, and objects do not pass the NAT gateway, which bills them.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
}

resource "aws_security_group" "functions" {
  name        = "s3-sftp-bridge-acme"
  description = "To the partner's port, and to AWS"
  vpc_id      = aws_vpc.this.id

  egress {
    description = "SFTP"
    protocol    = "tcp"
    from_port   = var.partner_port
    to_port     = var.partner_port
    cidr_blocks = ["0.0.0.0/0"]
  }

  egress {
    description = "AWS"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = ["0.0.0.0/0"]
  }
}

module "acme" {
  source = "../../modules/s3-sftp-bridge"

  name         = "sftp-acme"
  template_url = var.template_url

  sftp_host              = "sftp.partner.example"
  sftp_port              = var.partner_port
  sftp_user              = "acme"
  sftp_trusted_host_keys = var.trusted_host_keys
  sftp_secret_id         = var.secret_id
  subnet_ids             = [aws_subnet.private.id]
  security_group_ids     = [aws_security_group.functions.id]
  alarm_topic_arn        = var.alarm_topic_arn

  # A function without a route cannot connect. So the routes come first, and go last.
  depends_on = [
    aws_route_table_association.private,
    aws_route_table_association.public,
    aws_vpc_endpoint.s3,
  ]
}

output "tell_the_partner" {
  description = "The address from which the bridge connects."
  value       = aws_eip.partner_sees.public_ip
}

output "deliver_below" {
  description = "Upload below this to deliver."
  value       = module.acme.deliver_below
}
