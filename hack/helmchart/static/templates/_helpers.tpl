{{/* The beginning of every name: short enough for the longest of them to be that of a Service. */}}
{{- define "observatory-operator.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- end -}}
{{- $name | trunc 28 | trimSuffix "-" -}}
{{- end -}}

{{- define "observatory-operator.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "observatory-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "observatory-operator.check" -}}
{{- if not .Values.watchNamespaces -}}
{{- fail "rbac.namespaced: there are no watchNamespaces; name at least one" -}}
{{- end -}}
{{- end -}}
