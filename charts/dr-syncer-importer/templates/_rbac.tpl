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

{{- /* To agree with others who use the restic repository, in the release's namespace. "alone": to be alone with it. */ -}}
{{- define "dr-syncer.rules.repository" }}
# The Leases by which all who use the restic repository see each other.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get{{ if . }}, list{{ end }}, create, update, delete]
{{- end }}

{{- /* To run movers in a namespace. */ -}}
{{- define "dr-syncer.rules.movers" }}
# A mover is a Job and a Secret with the restic repository's credentials. Whether its pod would be let in is asked first.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
# Its resources are made to fit the namespace's bounds.
- apiGroups: [""]
  resources: [limitranges]
  verbs: [list]
# Why one does not start, and of what was not whole.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}

{{- /*
A role and its binding to a service account. A list of the context, namespace ("" for all), name, rules, and the account
(left out: the service's).
*/ -}}
{{- define "dr-syncer.grant" -}}
{{- $context := index . 0 -}}
{{- $account := include "dr-syncer.serviceaccount" $context -}}
{{- if gt (len .) 4 -}}{{- $account = index . 4 -}}{{- end -}}
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
    name: {{ $account }}
    namespace: {{ $context.Release.Namespace }}
{{- end -}}
