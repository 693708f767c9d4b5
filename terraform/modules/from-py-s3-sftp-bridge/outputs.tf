output "name" {
  description = "Name of the stack, for --stack."
  value       = local.name
}

output "bucket_name" {
  description = "The bucket of the predecessor, from which the stack delivers."
  value       = module.bridge.bucket_name
}

output "state_machine_arn" {
  description = "The state machine; each delivery is one execution of it."
  value       = module.bridge.state_machine_arn
}

output "record_bucket_name" {
  description = "Receipts of deliveries and records of failures."
  value       = module.bridge.record_bucket_name
}
