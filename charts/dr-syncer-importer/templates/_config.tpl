{{- /* From the values to the service's configuration and the files that it names. The same in both charts. */ -}}

{{- /* How the repository is reached: https, ssh, or "" for a path. */ -}}
{{- define "dr-syncer.scheme" -}}
{{- $url := .Values.config.repository.url -}}
{{- if regexMatch "(?i)^https://" $url -}}https
{{- else if regexMatch "(?i)^ssh://" $url -}}ssh
{{- else if and (not (contains "://" $url)) (regexMatch "^[^/]+:" $url) -}}ssh
{{- end -}}
{{- end -}}

{{- /* The value at a path of keys, as JSON; "" for none. A list of a dict and a list of keys. */ -}}
{{- define "dr-syncer.at" -}}
{{- $node := index . 0 -}}
{{- range index . 1 -}}
{{- $node = ternary (get (ternary $node dict (kindIs "map" $node)) .) "" (kindIs "map" $node) -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $node) (and (kindIs "string" $node) (eq $node ""))) -}}{{ toJson $node }}{{- end -}}
{{- end -}}

{{- /* Sets a path of keys in a dict to a value, unless there is one. A list of dict, keys and value. */ -}}
{{- define "dr-syncer.fill" -}}
{{- $node := index . 0 -}}
{{- $path := index . 1 -}}
{{- if not (include "dr-syncer.at" (list $node $path)) -}}
{{- range initial $path -}}
{{- if not (kindIs "map" (get $node .)) -}}{{- $_ := set $node . dict -}}{{- end -}}
{{- $node = get $node . -}}
{{- end -}}
{{- $_ := set $node (last $path) (index . 2) -}}
{{- end -}}
{{- end -}}

{{- /*
The files that the chart mounts beside the configuration, as a list. `at` is the key of the configuration that names
the file; `file` is its path beside dr-syncer.yaml. What it holds is `key` of the `existing` Secret, or `secret`, which
the chart puts into a Secret of its own, or `text`, which is no secret. What the user's configuration names already, is
the user's.
*/ -}}
{{- define "dr-syncer.files" -}}
{{- $found := concat (include "dr-syncer.files.git" . | fromYamlArray) (include "dr-syncer.files.side" . | fromYamlArray) -}}
{{- $files := list -}}
{{- range $found -}}
{{- $given := include "dr-syncer.at" (list $.Values.config .at) -}}
{{- if and (not $given) (or .text .secret .existing) -}}{{- $files = append $files . -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "dr-syncer.files.git" -}}
{{- $git := .Values.git -}}
{{- $scheme := include "dr-syncer.scheme" . -}}
{{- $files := list -}}
{{- if eq $scheme "ssh" -}}
{{- $files = append $files (dict "at" (list "repository" "auth" "sshKeyFile") "file" "git/ssh-privatekey" "existing" $git.existingSecret "key" $git.keys.sshPrivateKey "secret" $git.sshPrivateKey) -}}
{{- $files = append $files (dict "at" (list "repository" "auth" "knownHostsFile") "file" "git/known_hosts" "existing" (ternary "" $git.existingSecret (ne $git.knownHosts "")) "key" $git.keys.knownHosts "text" $git.knownHosts) -}}
{{- else if eq $scheme "https" -}}
{{- $files = append $files (dict "at" (list "repository" "auth" "tokenFile") "file" "git/token" "existing" $git.existingSecret "key" $git.keys.token "secret" $git.token) -}}
{{- if or $git.username $git.keys.username -}}
{{- $files = append $files (dict "at" (list "repository" "auth" "usernameFile") "file" "git/username" "existing" (ternary "" $git.existingSecret (ne $git.username "")) "key" $git.keys.username "text" $git.username) -}}
{{- end -}}
{{- if or $git.ca $git.keys.ca -}}
{{- $files = append $files (dict "at" (list "repository" "auth" "caFile") "file" "git/ca.crt" "existing" (ternary "" $git.existingSecret (ne $git.ca "")) "key" $git.keys.ca "text" $git.ca) -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Where a secret value lies in the Secret that the chart makes. */ -}}
{{- define "dr-syncer.secretkey" -}}
{{- replace "/" "-" .file -}}
{{- end -}}

{{- /* dr-syncer.yaml. Paths in it are relative, so that it works in any folder that has the files. */ -}}
{{- define "dr-syncer.config" -}}
{{- include "dr-syncer.checks" . -}}
{{- $config := deepCopy .Values.config -}}
{{- include "dr-syncer.fill" (list $config (list "apiVersion") "dr-syncer.io/v1") -}}
{{- range include "dr-syncer.files" . | fromYamlArray -}}
{{- include "dr-syncer.fill" (list $config .at .file) -}}
{{- end -}}
{{- include "dr-syncer.fill" (list $config (list "server" "address") "0.0.0.0") -}}
{{- include "dr-syncer.fill" (list $config (list "server" "leaderElection") true) -}}
{{- include "dr-syncer.fill.side" (list . $config) -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* The port that the service listens at. */ -}}
{{- define "dr-syncer.port" -}}
{{- include "dr-syncer.at" (list .Values.config (list "server" "port")) | default "8080" -}}
{{- end -}}

{{- define "dr-syncer.elects" -}}
{{- if ne (include "dr-syncer.at" (list .Values.config (list "server" "leaderElection"))) "false" -}}true{{- end -}}
{{- end -}}

{{- /* What the schema cannot tell and what would only show in a pod that does not start. */ -}}
{{- define "dr-syncer.checks" -}}
{{- $files := include "dr-syncer.files" . | fromYamlArray -}}
{{- $named := list -}}
{{- range $files -}}{{- $named = append $named .file -}}{{- end -}}
{{- $scheme := include "dr-syncer.scheme" . -}}
{{- $auth := list "repository" "auth" -}}
{{- if and (eq $scheme "ssh") (not (has "git/ssh-privatekey" $named)) (not (include "dr-syncer.at" (list .Values.config (append $auth "sshKeyFile")))) -}}
{{- fail (printf "git.existingSecret: %s is reached by ssh; name a Secret with a deploy key, or set git.sshPrivateKey" .Values.config.repository.url) -}}
{{- end -}}
{{- if and (eq $scheme "ssh") (not (has "git/known_hosts" $named)) (not (include "dr-syncer.at" (list .Values.config (append $auth "knownHostsFile")))) -}}
{{- fail (printf "git.knownHosts: an unknown host is refused; set what `ssh-keyscan` prints for the host of %s, once you have compared its fingerprint" .Values.config.repository.url) -}}
{{- end -}}
{{- if and (eq $scheme "https") (not (has "git/token" $named)) (not (include "dr-syncer.at" (list .Values.config (append $auth "tokenFile")))) -}}
{{- fail (printf "git.existingSecret: %s is reached by https; name a Secret with a token, or set git.token" .Values.config.repository.url) -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "dr-syncer.elects" .)) -}}
{{- fail "replicas: more than one needs config.server.leaderElection, or they would all work at once" -}}
{{- end -}}
{{- include "dr-syncer.checks.side" . -}}
{{- end -}}

{{- /* The port of the Git server, as a list of one or none. */ -}}
{{- define "dr-syncer.gitport" -}}
{{- $scheme := include "dr-syncer.scheme" . -}}
{{- $url := .Values.config.repository.url -}}
{{- $given := "" -}}
{{- if contains "://" $url -}}
{{- $given = regexFind ":[0-9]+$" (urlParse $url).host | trimPrefix ":" -}}
{{- end -}}
{{- if eq $scheme "ssh" -}}
{{- printf "[%s]" ($given | default "22") -}}
{{- else if eq $scheme "https" -}}
{{- printf "[%s]" ($given | default "443") -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}
