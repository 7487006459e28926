variable "bucket" {
  description = "Name of the bucket; NEO_LAKE is then s3://bucket/prefix."
  type        = string
}

variable "prefix" {
  description = "Where in the bucket the lake is, without a slash at either end."
  type        = string
  default     = "neo"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.prefix))
    error_message = "Give a path such as neo or data/neo."
  }
}

variable "oidc_provider_arn" {
  description = "ARN of the Kubernetes cluster's OpenID Connect provider, for IAM roles of service accounts."
  type        = string
}

variable "oidc_issuer" {
  description = "The cluster's issuer without https://, such as oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace of the chart."
  type        = string
  default     = "neo-assets"
}

variable "service_account" {
  description = "Kubernetes service account of the code location and of runs, as in deploy/helm/values.yaml."
  type        = string
  default     = "neo-assets"
}

variable "old_versions_days" {
  description = "Days for which replaced and deleted objects can be brought back."
  type        = number
  default     = 30
}
