// Definitions of others' kinds that the operator makes objects of. Only files of these modules are read; nothing is built.
module mailpods.dev/e2e/schemas

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
