{{- /* One name whatever the release is called: pods find the control channel by it. */}}
{{- define "mailpods.name" -}}mailpods-operator{{- end }}

{{- define "mailpods.selector" -}}
app.kubernetes.io/name: mailpods-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Labels of everything but what selectors are made of. */}}
{{- define "mailpods.common" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mailpods
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The chart's own labels win over the user's: selectors depend on them. */}}
{{- define "mailpods.labels" -}}
{{- $own := merge (include "mailpods.selector" . | fromYaml) (include "mailpods.common" . | fromYaml) }}
{{- toYaml (merge $own .Values.labels) }}
{{- end }}

{{- define "mailpods.podLabels" -}}
{{- toYaml (merge (include "mailpods.selector" . | fromYaml) .Values.podLabels) }}
{{- end }}

{{- define "mailpods.monitoringLabels" -}}
{{- $own := merge (include "mailpods.selector" . | fromYaml) (include "mailpods.common" . | fromYaml) }}
{{- toYaml (merge $own .Values.monitoring.labels .Values.labels) }}
{{- end }}

{{- define "mailpods.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mailpods.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
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
  verbs: [patch]
# The finalizer of addresses that pods send from.
- apiGroups: [mailpods.dev]
  resources: [outboundips]
  verbs: [patch]
# Owner references with blockOwnerDeletion, where the API server checks them.
- apiGroups: [mailpods.dev]
  resources: [mailclusters/finalizers, maildomains/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
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
