output "neo_lake" {
  description = "The setting NEO_LAKE."
  value       = "s3://${aws_s3_bucket.lake.id}/${var.prefix}"
}

output "role_arn" {
  description = "For the annotation eks.amazonaws.com/role-arn in deploy/helm/values.yaml."
  value       = aws_iam_role.lake.arn
}
