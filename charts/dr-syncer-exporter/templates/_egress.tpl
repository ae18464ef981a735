{{- /* Ways out for NetworkPolicies. The same in both charts. */ -}}

{{- define "dr-syncer.egress.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
  {{- with .Values.networkPolicy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "dr-syncer.egress.apiserver" -}}
{{- with .Values.networkPolicy.apiServer -}}
{{- include "dr-syncer.egress.to" (list .ports .to) -}}
{{- end -}}
{{- end -}}

{{- define "dr-syncer.egress.git" -}}
{{- with .Values.networkPolicy.git -}}
{{- include "dr-syncer.egress.to" (list (.ports | default (include "dr-syncer.gitport" $ | fromYamlArray)) .to) -}}
{{- end -}}
{{- end -}}

{{- define "dr-syncer.egress.restic" -}}
{{- if .Values.config.volumes -}}
{{- $ports := include "dr-syncer.resticports" (list . (include "dr-syncer.restic" .)) | fromYamlArray -}}
{{- include "dr-syncer.egress.to" (list $ports .Values.networkPolicy.restic.to) -}}
{{- end -}}
{{- end -}}

{{- /* A list of ports and peers. Without ports there is no way. */ -}}
{{- define "dr-syncer.egress.to" -}}
{{- with index . 0 -}}
- ports:
    {{- range . }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with index $ 1 }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
