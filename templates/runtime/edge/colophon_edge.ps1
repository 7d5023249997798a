# Runtime of edge scripts in PowerShell 5.1 and 7: the same file in every bundle.
#
# A script reads one job from standard input, {"run_id", "payload", "env"}, and writes one answer to
# standard output, {"run_id", "segment", "result"} or {"run_id", "segment", "error"}. `env` holds the
# secrets that the bundle's manifest names; one that is missing there is taken from the environment.
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# The cmdlets that flows may run; the compiler has the same list.
$EdgeAllowed = @(
    'Add-Content'
    'Compress-Archive'
    'Copy-Item'
    'Expand-Archive'
    'Get-ChildItem'
    'Get-Content'
    'Get-Date'
    'Get-FileHash'
    'Get-Item'
    'Get-Process'
    'Get-Service'
    'Import-Csv'
    'Invoke-RestMethod'
    'Move-Item'
    'New-Item'
    'Remove-Item'
    'Set-Content'
    'Start-Service'
    'Start-Sleep'
    'Stop-Service'
    'Test-Path'
)

# Those whose result is a list, whatever its length.
$EdgeLists = @('Get-ChildItem', 'Get-Content', 'Get-Process', 'Get-Service', 'Import-Csv')

# Runs a segment; 0 when it succeeded.
function Invoke-EdgeSegment($segment, $steps) {
    $answer = @{ 'run_id' = $null; 'segment' = $segment }
    $code = 0
    try {
        $job = Read-EdgeJob
        $answer['run_id'] = $job['run_id']
        $at = @{ 'payload' = $job['payload']; 'env' = $job['env']; 'out' = @{} }
        foreach ($step in $steps) {
            $at['out'][$step[0]] = Invoke-EdgeNode $at $step
        }
        $answer['result'] = $at['out']
    } catch {
        $answer['error'] = Get-EdgeMessage $_
        $code = 1
    }
    Write-EdgeAnswer $answer
    return $code
}

# One node: again after a failure as often as it asks, then as its `on_error` says.
function Invoke-EdgeNode($at, $step) {
    $work, $onError, $retry = $step[1], $step[2], $step[3]
    for ($attempt = 0; $attempt -lt $retry; $attempt++) {
        try {
            return & $work $at
        } catch {
            Start-Sleep -Milliseconds (500 * [Math]::Pow(2, $attempt))
        }
    }
    try {
        return & $work $at
    } catch {
        if ($onError -ne 'continue') { throw }
        return @{ 'error' = Get-EdgeMessage $_ }
    }
}

# Runs a cmdlet. Each parameter is a word for what it takes, and a template.
function Invoke-EdgeStep($at, $cmdlet, $params) {
    if ($EdgeAllowed -cnotcontains $cmdlet) { throw "flows may not run $cmdlet" }
    $values = @{}
    foreach ($name in $params.Keys) {
        $values[$name] = Get-EdgeParameter $at $params[$name][0] $params[$name][1]
    }
    $command = Get-Command -Name $cmdlet -CommandType Cmdlet, Function | Select-Object -First 1
    $found = @(& $command @values)
    if ($EdgeLists -ccontains $cmdlet -and -not $values['Raw']) {
        return , @($found | ForEach-Object { , (ConvertTo-EdgePlain $_) })
    }
    if ($found.Count -eq 0) { return $null }
    return ConvertTo-EdgePlain $found[0]
}

function Get-EdgeParameter($at, $word, $template) {
    switch -CaseSensitive ($word) {
        'switch' { return $template['lit'] }
        'integer' { return $template['lit'] }
        'headers' {
            $headers = @{}
            $members = $template['object']
            foreach ($name in $members.Keys) { $headers[$name] = Get-EdgeText $at $members[$name] }
            return $headers
        }
        'path' {
            # Other drives hold functions, aliases and variables: what is written there becomes code.
            $path = Get-EdgeText $at $template
            if (($path -replace '^[A-Za-z]:(?=[\\/])', '').Contains(':')) {
                throw 'a path of the file system is expected'
            }
            return $path
        }
        'url' {
            $url = Get-EdgeText $at $template
            if ($url -cnotmatch '^https?://') { throw 'only http and https addresses are requested' }
            return $url
        }
        'text' { return Get-EdgeText $at $template }
    }
    throw "unknown kind of parameter: $word"
}

# The value of a template as text: {"lit"}, {"ref"} or {"text"}.
function Get-EdgeText($at, $template) {
    if ($template.ContainsKey('lit')) { return $template['lit'] }
    if ($template.ContainsKey('ref')) {
        return ConvertTo-EdgeText (Resolve-EdgeReference $at $template['ref'])
    }
    $parts = foreach ($part in $template['text']) {
        if ($part -is [string]) { $part } else {
            ConvertTo-EdgeText (Resolve-EdgeReference $at $part)
        }
    }
    return -join $parts
}

function Resolve-EdgeReference($at, $reference) {
    $root = $reference[0]
    if ($root -ceq 'payload') { return , $at['payload'][$reference[1]] }
    if ($root -ceq 'env') {
        $name = $reference[1]
        if ($at['env'] -and $at['env'].ContainsKey($name)) { return $at['env'][$name] }
        return [Environment]::GetEnvironmentVariable($name)
    }
    $found = $at['out'][$root]
    for ($index = 1; $index -lt $reference.Count; $index++) {
        $key = $reference[$index]
        if ($found -is [Collections.IList]) { $key = [int]$key }
        $found = $found[$key]
    }
    return , $found
}

# How a value reads inside a text: text as it stands, nothing for null, else JSON.
function ConvertTo-EdgeText($found) {
    if ($null -eq $found) { return '' }
    if ($found -is [string]) { return $found }
    return ConvertTo-Json -InputObject $found -Depth 32 -Compress
}

# A result as values of JSON.
function ConvertTo-EdgePlain($found) {
    if ($null -eq $found) { return $null }
    # Windows PowerShell adds members to the texts that it reads; a new text has none.
    if ($found -is [string]) { return "$found" }
    if ($found -is [bool] -or $found -is [ValueType] -and $found.GetType().IsPrimitive) {
        return $found.PSObject.BaseObject
    }
    if ($found -is [decimal]) { return $found }
    if ($found -is [datetime]) { return $found.ToUniversalTime().ToString('o') }
    if ($found -is [IO.FileSystemInfo]) {
        $length = if ($found -is [IO.FileInfo]) { $found.Length } else { $null }
        return @{
            'name' = $found.Name
            'path' = $found.FullName
            'length' = $length
            'modified' = $found.LastWriteTimeUtc.ToString('o')
        }
    }
    if ($found -is [Diagnostics.Process]) { return @{ 'name' = $found.Name; 'id' = $found.Id } }
    if ($found.GetType().Name -eq 'ServiceController') {
        return @{ 'name' = $found.Name; 'status' = "$($found.Status)" }
    }
    if ($found -is [Xml.XmlNode]) { return $found.OuterXml }
    if ($found -is [Collections.IList]) {
        return , @($found | ForEach-Object { , (ConvertTo-EdgePlain $_) })
    }
    if ($found -isnot [Management.Automation.PSCustomObject] -and
        $found.GetType().Name -ne 'FileHashInfo') {
        return "$found"
    }
    $members = @{}
    foreach ($member in $found.PSObject.Properties) {
        $members[$member.Name] = ConvertTo-EdgePlain $member.Value
    }
    return $members
}

# One line: the rest of a message repeats what the step was given.
function Get-EdgeMessage($record) {
    $message = ($record.Exception.Message -split "`r?`n")[0]
    return $record.Exception.GetType().Name + ': ' + $message
}

# The job. ConvertFrom-Json would turn texts that look like dates into dates.
function Read-EdgeJob {
    $encoding = New-Object Text.UTF8Encoding($false)
    $reader = New-Object IO.StreamReader([Console]::OpenStandardInput(), $encoding)
    $text = $reader.ReadToEnd()
    if ($PSVersionTable.PSVersion.Major -ge 6) {
        return ConvertFrom-EdgeElement ([Text.Json.JsonDocument]::Parse($text).RootElement)
    }
    Add-Type -AssemblyName System.Web.Extensions
    $serializer = New-Object Web.Script.Serialization.JavaScriptSerializer
    $serializer.MaxJsonLength = [int]::MaxValue
    return $serializer.DeserializeObject($text)
}

function ConvertFrom-EdgeElement($element) {
    switch ("$($element.ValueKind)") {
        'Object' {
            $members = New-Object 'Collections.Generic.Dictionary[string,object]'
            foreach ($member in $element.EnumerateObject()) {
                $members[$member.Name] = ConvertFrom-EdgeElement $member.Value
            }
            return $members
        }
        'Array' {
            $items = New-Object 'Collections.Generic.List[object]'
            foreach ($item in $element.EnumerateArray()) {
                $items.Add((ConvertFrom-EdgeElement $item))
            }
            return , $items.ToArray()
        }
        'String' { return $element.GetString() }
        'True' { return $true }
        'False' { return $false }
        'Null' { return $null }
    }
    $whole = [long]0
    if ($element.TryGetInt64([ref]$whole)) { return $whole }
    return $element.GetDouble()
}

# UTF-8 without a mark, whatever the console's code page is.
function Write-EdgeAnswer($answer) {
    $text = ConvertTo-Json -InputObject $answer -Depth 32 -Compress
    $bytes = (New-Object Text.UTF8Encoding($false)).GetBytes($text)
    $output = [Console]::OpenStandardOutput()
    $output.Write($bytes, 0, $bytes.Length)
    $output.Flush()
}
