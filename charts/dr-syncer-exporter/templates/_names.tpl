{{- /* Names and labels. The same in both charts. */ -}}

{{- define "dr-syncer.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A release named `dr-syncer`, or as the chart, gives the chart's name; any other gives both names. */ -}}
{{- define "dr-syncer.fullname" -}}
{{- $name := include "dr-syncer.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if eq .Release.Name "dr-syncer" -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-scoped objects: two releases of one name in two namespaces are two. */ -}}
{{- define "dr-syncer.clustername" -}}
{{- printf "%s:%s" .Release.Namespace (include "dr-syncer.fullname" .) -}}
{{- end -}}

{{- define "dr-syncer.serviceaccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "dr-syncer.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "dr-syncer.selector" -}}
app.kubernetes.io/name: {{ include "dr-syncer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* With `part-of` an object is never exported. */ -}}
{{- define "dr-syncer.labels.own" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "dr-syncer.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ include "dr-syncer.side" . }}
app.kubernetes.io/part-of: dr-syncer
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Labels of an object: a list of the context and of its further labels, over which the chart's own go. */ -}}
{{- define "dr-syncer.labels" -}}
{{- $context := index . 0 -}}
{{- toYaml (mustMerge (include "dr-syncer.labels.own" $context | fromYaml) (index . 1) $context.Values.labels) -}}
{{- end -}}

{{- /* Metadata of an object: a list of the context, its name, its own annotations, and its own labels (may be left out). */ -}}
{{- define "dr-syncer.meta" -}}
{{- $context := index . 0 -}}
{{- $annotations := mustMerge (dict) (index . 2) $context.Values.annotations -}}
name: {{ index . 1 }}
labels:
  {{- include "dr-syncer.labels" (list $context (gt (len .) 3 | ternary (last .) dict)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "dr-syncer.meta.here" -}}
{{ include "dr-syncer.meta" . }}
namespace: {{ (index . 0).Release.Namespace }}
{{- end -}}

{{- define "dr-syncer.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
