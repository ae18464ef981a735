{{- /* Roles. The same in both charts. */ -}}

{{- /* Rules for types, as people write them, and verbs. A list of the two. */ -}}
{{- define "dr-syncer.rules" -}}
{{- $verbs := index . 1 -}}
{{- range index . 0 }}
{{- $parts := splitList "." . }}
{{- $group := ternary "*" (join "." (rest $parts)) (eq . "*") }}
- apiGroups: [{{ $group | quote }}]
  resources: [{{ first $parts | quote }}]
  verbs: {{ toJson $verbs }}
{{- end }}
{{- end -}}

{{- /* What every side does in a namespace of its own: its Lease, its status, Events about it. */ -}}
{{- define "dr-syncer.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "dr-syncer.lease" . }}]
  verbs: [get, update]
# Its status, in which runs are asked for, and Events about it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "dr-syncer.lease" . }}]
  verbs: [get, watch, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* A role and its binding to the service account. A list of the context, namespace ("" for all), name and rules. */ -}}
{{- define "dr-syncer.grant" -}}
{{- $context := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- $meta := include "dr-syncer.meta" (list $context (index . 2) dict) -}}
{{- $kind := ternary "Role" "ClusterRole" (ne $namespace "") -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- $meta | nindent 2 }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
rules:
  {{- index . 3 | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- $meta | nindent 2 }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ index . 2 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "dr-syncer.serviceaccount" $context }}
    namespace: {{ $context.Release.Namespace }}
{{- end -}}
