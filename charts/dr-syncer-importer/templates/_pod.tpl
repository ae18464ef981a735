{{- /* What all pods of ours have. The same in both charts. */ -}}

{{- /* How a pod is made and where it goes. */ -}}
{{- define "dr-syncer.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "dr-syncer.env" -}}
# For `kubectl exec … -- dr-syncer …`, which then finds the same configuration.
- {name: DR_SYNCER_CONFIG, value: /etc/dr-syncer/dr-syncer.yaml}
- {name: XDG_CACHE_HOME, value: /var/cache}
- {name: HOME, value: /tmp}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dr-syncer.cache" -}}
emptyDir:
  {{- with .Values.cache.medium }}
  medium: {{ . }}
  {{- end }}
  {{- with .Values.cache.sizeLimit }}
  sizeLimit: {{ . }}
  {{- end }}
  {{- if not (or .Values.cache.medium .Values.cache.sizeLimit) }} {}{{ end }}
{{- end -}}

{{- /*
The sources of the volume with dr-syncer.yaml and what lies beside it. A list of the context, the files, and the name of
the ConfigMap and the Secret that the chart makes for it.
*/ -}}
{{- define "dr-syncer.sources" -}}
{{- $name := index . 2 -}}
- configMap:
    name: {{ $name }}
    items:
      - {key: dr-syncer.yaml, path: dr-syncer.yaml}
      {{- range index . 1 }}
      {{- if .text }}
      - {key: {{ include "dr-syncer.secretkey" . }}, path: {{ .file }}}
      {{- end }}
      {{- end }}
{{- range index . 1 }}
{{- if not .text }}
- secret:
    name: {{ .existing | default $name }}
    items:
      - {key: {{ ternary .key (include "dr-syncer.secretkey" .) (ne (.existing | default "") "") }}, path: {{ .file }}}
{{- end }}
{{- end }}
{{- end -}}
