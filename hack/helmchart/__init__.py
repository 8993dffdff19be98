"""The Helm chart, from what kustomize renders of `manifests`.

Nothing is written twice: objects, arguments and defaults come from the manifests. What only a chart
has is in `static`: its values with their schema, and a few words. From what is low to what is high:

    tokens      template expressions that survive being written as YAML
    groups      which value turns an object on, and the folder of its template
    variants    what a kustomize Component changes, as conditions
    names       names, namespaces and labels that depend on the release
    workload    the Deployment, where most values act
    chart       all of them together: the files of the chart
    cli         what people type
"""
