{{- /* What the exporter's chart has of its own; the importer's has a file of the same name. */ -}}

{{- define "dr-syncer.side" -}}exporter{{- end -}}

{{- /* The name of its Lease and of its status. */ -}}
{{- define "dr-syncer.lease" -}}
{{- printf "dr-syncer-exporter-%s" .Values.config.exporter.cluster -}}
{{- end -}}

{{- define "dr-syncer.files.side" -}}
{{- $signing := .Values.signing -}}
{{- $files := list (dict "at" (list "repository" "signing" "keyFile") "file" "signing/private-key" "existing" $signing.existingSecret "key" $signing.key "secret" $signing.privateKey) -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Its pods are given no credentials of the restic repository: they have nothing to do with data. */ -}}
{{- define "dr-syncer.files.service" -}}
{{- $files := list -}}
{{- range include "dr-syncer.files" . | fromYamlArray -}}
{{- if not (hasPrefix "restic/" .file) -}}{{- $files = append $files . -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Where its pods go beyond DNS, API server and Git. */ -}}
{{- define "dr-syncer.egress.service" -}}{{- end -}}

{{- define "dr-syncer.fill.side" -}}
{{- $context := index . 0 -}}
{{- $config := index . 1 -}}
{{- include "dr-syncer.fill" (list $config (list "exporter" "secrets" "digestKeyNamespace") $context.Release.Namespace) -}}
{{- $entry := dict -}}
{{- if ne (toJson $context.Values.rbac.types) "[\"*\"]" -}}{{- $_ := set $entry "types" $context.Values.rbac.types -}}{{- end -}}
{{- with $context.Values.rbac.namespaces -}}{{- $_ := set $entry "namespaces" . -}}{{- end -}}
{{- with $entry -}}
{{- include "dr-syncer.fill" (list $config (list "exporter" "select" "include") (list .)) -}}
{{- end -}}
{{- with $context.Values.backup.namespaces | default $context.Values.rbac.namespaces -}}
{{- if $config.volumes -}}
{{- include "dr-syncer.fill" (list $config (list "volumes" "select" "include") (list (dict "namespaces" .))) -}}
{{- end -}}
{{- end -}}
{{- if and $config.volumes $context.Values.verify.enabled (not $context.Values.verify.suspend) -}}
{{- include "dr-syncer.fill" (list $config (list "volumes" "verifyMaxAge") "8d") -}}
{{- end -}}
{{- /* The source's credentials are no business of DR's, encrypted or not. */ -}}
{{- $own := list -}}
{{- range include "dr-syncer.files" $context | fromYamlArray -}}
{{- with .existing -}}{{- $own = append $own . -}}{{- end -}}
{{- end -}}
{{- with $context.Values.prune.restic.existingSecret -}}{{- $own = append $own . -}}{{- end -}}
{{- with $context.Values.gitReadOnly.existingSecret -}}{{- $own = append $own . -}}{{- end -}}
{{- $unseen := and $context.Values.rbac.namespaces (not (has $context.Release.Namespace $context.Values.rbac.namespaces)) -}}
{{- $types := $context.Values.rbac.types -}}
{{- if or $unseen (not (or (has "*" $types) (has "secrets" $types))) -}}
{{- $own = list -}}
{{- end -}}
{{- with $own -}}
{{- $select := get (get $config "exporter") "select" | default dict -}}
{{- $exclude := append ($select.exclude | default list) (dict "types" (list "secrets") "namespaces" (list $context.Release.Namespace) "names" (uniq .)) -}}
{{- $_ := set $select "exclude" $exclude -}}
{{- $_ := set (get $config "exporter") "select" $select -}}
{{- end -}}
{{- end -}}

{{- define "dr-syncer.checks.side" -}}
{{- $secrets := list "exporter" "secrets" -}}
{{- $mode := include "dr-syncer.at" (list .Values.config (append $secrets "mode")) | default "\"encrypt\"" -}}
{{- $recipients := include "dr-syncer.at" (list .Values.config (append $secrets "recipients")) | default "[]" -}}
{{- if and (eq $mode "\"encrypt\"") (eq $recipients "[]") -}}
{{- fail "config.exporter.secrets.recipients: Secrets are encrypted for DR's public key (age-keygen makes a pair); name it, or set config.exporter.secrets.mode to omit or plaintext" -}}
{{- end -}}
{{- end -}}
