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
the file, or the folder `value` that it is in; `file` is its path beside dr-syncer.yaml. What it holds is `key` of the
`existing` Secret, or `secret`, which the chart puts into a Secret of its own, or `text`, which is no secret. What the
user's configuration names already, is the user's.
*/ -}}
{{- define "dr-syncer.files" -}}
{{- $repository := concat (include "dr-syncer.files.git" . | fromYamlArray) (include "dr-syncer.files.side" . | fromYamlArray) -}}
{{- $files := include "dr-syncer.files.wanted" (list . $repository) | fromYamlArray -}}
{{- toYaml (concat $files (include "dr-syncer.files.restic" (list . .Values.restic) | fromYamlArray)) -}}
{{- end -}}

{{- define "dr-syncer.files.wanted" -}}
{{- $context := index . 0 -}}
{{- $files := list -}}
{{- range index . 1 -}}
{{- $given := include "dr-syncer.at" (list $context.Values.config .at) -}}
{{- if and (not $given) (or .text .secret .existing) -}}{{- $files = append $files . -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- /* Of a list of the context and a section of values with credentials of a restic repository. */ -}}
{{- define "dr-syncer.files.restic" -}}
{{- $context := index . 0 -}}
{{- $restic := index . 1 -}}
{{- $files := list -}}
{{- if $context.Values.config.volumes -}}
{{- $auth := list "volumes" "restic" "auth" -}}
{{- $files = append $files (dict "at" (append $auth "passwordFile") "file" "restic/password" "existing" $restic.existingSecret "key" $restic.keys.password "secret" $restic.password) -}}
{{- if or $restic.ca $restic.keys.ca -}}
{{- $files = append $files (dict "at" (append $auth "caFile") "file" "restic/ca.crt" "existing" (ternary "" $restic.existingSecret (ne $restic.ca "")) "key" $restic.keys.ca "text" $restic.ca) -}}
{{- end -}}
{{- if hasPrefix "sftp:" (include "dr-syncer.restic" $context) -}}
{{- $files = append $files (dict "at" (append $auth "sshKeyFile") "file" "restic/ssh-privatekey" "existing" $restic.existingSecret "key" $restic.keys.sshPrivateKey "secret" $restic.sshPrivateKey) -}}
{{- $files = append $files (dict "at" (append $auth "knownHostsFile") "file" "restic/known_hosts" "existing" (ternary "" $restic.existingSecret (ne $restic.knownHosts "")) "key" $restic.keys.knownHosts "text" $restic.knownHosts) -}}
{{- end -}}
{{- range $name := $restic.keys.environment -}}
{{- $files = append $files (dict "at" (append $auth "environmentDir") "value" "restic/environment" "file" (print "restic/environment/" $name) "existing" $restic.existingSecret "key" $name) -}}
{{- end -}}
{{- range $name, $value := $restic.environment -}}
{{- $files = append $files (dict "at" (append $auth "environmentDir") "value" "restic/environment" "file" (print "restic/environment/" $name) "secret" $value) -}}
{{- end -}}
{{- end -}}
{{- include "dr-syncer.files.wanted" (list $context $files) -}}
{{- end -}}

{{- /* Where the restic repository is. */ -}}
{{- define "dr-syncer.restic" -}}
{{- with .Values.config.volumes -}}{{- .restic.repository -}}{{- end -}}
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
{{- include "dr-syncer.fill" (list $config .at (.value | default .file)) -}}
{{- end -}}
{{- if $config.volumes -}}
{{- $mover := list "volumes" "mover" -}}
{{- include "dr-syncer.fill" (list $config (append $mover "image") (include "dr-syncer.image" .)) -}}
{{- include "dr-syncer.fill" (list $config (append $mover "pullPolicy") .Values.image.pullPolicy) -}}
{{- $names := list -}}
{{- range .Values.imagePullSecrets -}}{{- $names = append $names .name -}}{{- end -}}
{{- with $names -}}{{- include "dr-syncer.fill" (list $config (append $mover "pullSecrets") .) -}}{{- end -}}
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
{{- include "dr-syncer.checks.git" (list . "git") -}}
{{- if .Values.config.volumes -}}
{{- include "dr-syncer.checks.restic" (list . "restic" .Values.restic (include "dr-syncer.restic" .)) -}}
{{- else if or .Values.restic.existingSecret .Values.restic.password -}}
{{- fail "config.volumes.restic.repository: there are credentials for a restic repository (`restic`), and where is it?" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "dr-syncer.elects" .)) -}}
{{- fail "replicas: more than one needs config.server.leaderElection, or they would all work at once" -}}
{{- end -}}
{{- include "dr-syncer.checks.side" . -}}
{{- end -}}

{{- /* A list of the context and the name of the values that the credentials in it are from. */ -}}
{{- define "dr-syncer.checks.git" -}}
{{- $context := index . 0 -}}
{{- $name := index . 1 -}}
{{- $url := $context.Values.config.repository.url -}}
{{- $named := list -}}
{{- range include "dr-syncer.files" $context | fromYamlArray -}}{{- $named = append $named .file -}}{{- end -}}
{{- $scheme := include "dr-syncer.scheme" $context -}}
{{- $auth := list "repository" "auth" -}}
{{- if and (eq $scheme "ssh") (not (has "git/ssh-privatekey" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "sshKeyFile")))) -}}
{{- fail (printf "%s.existingSecret: %s is reached by ssh; name a Secret with a deploy key, or set %s.sshPrivateKey" $name $url $name) -}}
{{- end -}}
{{- if and (eq $scheme "ssh") (not (has "git/known_hosts" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "knownHostsFile")))) -}}
{{- fail (printf "%s.knownHosts: an unknown host is refused; set what `ssh-keyscan` prints for the host of %s, once you have compared its fingerprint" $name $url) -}}
{{- end -}}
{{- if and (eq $scheme "https") (not (has "git/token" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "tokenFile")))) -}}
{{- fail (printf "%s.existingSecret: %s is reached by https; name a Secret with a token, or set %s.token" $name $url $name) -}}
{{- end -}}
{{- end -}}

{{- /* A list of the context, the name of the values with credentials, these values, and where the restic repository is. */ -}}
{{- define "dr-syncer.checks.restic" -}}
{{- $context := index . 0 -}}
{{- $name := index . 1 -}}
{{- $repository := index . 3 -}}
{{- $named := list -}}
{{- range include "dr-syncer.files.restic" (list $context (index . 2)) | fromYamlArray -}}{{- $named = append $named .file -}}{{- end -}}
{{- $auth := list "volumes" "restic" "auth" -}}
{{- if or (hasPrefix "/" $repository) (hasPrefix "." $repository) (hasPrefix "local:" $repository) -}}
{{- fail (printf "config.volumes.restic.repository: %s is a path, which is not there in the pods that move the data; use s3:…, rest:…, sftp:… or another backend of restic" $repository) -}}
{{- end -}}
{{- if and (not (has "restic/password" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "passwordFile")))) -}}
{{- fail (printf "%s.existingSecret: the restic repository has a password; name a Secret with it, or set %s.password" $name $name) -}}
{{- end -}}
{{- if and (hasPrefix "sftp:" $repository) (not (has "restic/ssh-privatekey" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "sshKeyFile")))) -}}
{{- fail (printf "%s.existingSecret: %s is reached by ssh; name a Secret with a private key, or set %s.sshPrivateKey" $name $repository $name) -}}
{{- end -}}
{{- if and (hasPrefix "sftp:" $repository) (not (has "restic/known_hosts" $named)) (not (include "dr-syncer.at" (list $context.Values.config (append $auth "knownHostsFile")))) -}}
{{- fail (printf "%s.knownHosts: an unknown host is refused; set what `ssh-keyscan` prints for the host of %s, once you have compared its fingerprint" $name $repository) -}}
{{- end -}}
{{- if and $context.Values.networkPolicy.enabled (not (include "dr-syncer.resticports" (list $context $repository))) -}}
{{- fail (printf "networkPolicy.restic.ports: at which port is %s? Its backend does not say" $repository) -}}
{{- end -}}
{{- end -}}

{{- /* The ports of a restic repository as JSON; "" when it does not say. A list of the context and where it is. */ -}}
{{- define "dr-syncer.resticports" -}}
{{- $repository := index . 1 -}}
{{- $backend := regexFind "^[a-z0-9]+" $repository -}}
{{- $url := trimPrefix (print $backend ":") $repository -}}
{{- $host := regexReplaceAll "^([a-z]+:)?//" $url "" | regexFind "^[^/]*" | regexFind "[^@]*$" -}}
{{- $given := "" -}}
{{- if or (has $backend (list "s3" "rest")) (hasPrefix "//" $url) -}}
{{- $given = regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- end -}}
{{- with (index . 0).Values.networkPolicy.restic.ports -}}
{{- toJson . -}}
{{- else -}}
{{- if $given -}}[{{ $given }}]
{{- else if eq $backend "sftp" -}}[22]
{{- else if and (has $backend (list "s3" "rest")) (hasPrefix "http://" $url) -}}[80]
{{- else if has $backend (list "s3" "rest" "azure" "gs" "b2") -}}[443]
{{- end -}}
{{- end -}}
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
