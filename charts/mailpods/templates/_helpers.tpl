{{- /* One name whatever the release is called: pods find the control channel by it. */}}
{{- define "mailpods.name" -}}mailpods-operator{{- end }}

{{- define "mailpods.selector" -}}
app.kubernetes.io/name: mailpods-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mailpods.labels" -}}
{{ include "mailpods.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mailpods
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailpods.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What the operator does where mail resources are. */}}
{{- define "mailpods.rules" -}}
- apiGroups: [mailpods.dev]
  resources: [mailclusters, maildomains, mailboxes, outboundips, mailinglists]
  verbs: [get, list, watch]
- apiGroups: [mailpods.dev]
  resources: [mailclusters/status, maildomains/status, mailboxes/status, outboundips/status, mailinglists/status]
  verbs: [patch, update]
# Owner references with blockOwnerDeletion, where the API server checks them.
- apiGroups: [mailpods.dev]
  resources: [mailclusters/finalizers, maildomains/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [externaldns.k8s.io]
  resources: [dnsendpoints]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
