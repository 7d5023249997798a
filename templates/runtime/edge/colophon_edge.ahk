; Runtime of edge scripts in AutoHotkey v2: the same file in every bundle.
;
; A script reads one job from standard input, {"run_id", "payload", "env"}, and writes one answer to
; standard output, {"run_id", "segment", "result"} or {"run_id", "segment", "error"}. `env` holds the
; secrets that the bundle's manifest names; one that is missing there is taken from the environment.
#Requires AutoHotkey v2.0

; Runs a segment; 0 when it succeeded.
RunSegment(segment, steps) {
    answer := Map("segment", segment, "run_id", EdgeRaw("null"))
    code := 0
    try {
        job := EdgeJson(FileOpen("*", "r", "UTF-8").Read()).Read()
        answer["run_id"] := job.Get("run_id", EdgeRaw("null"))
        at := EdgeScope(job.Get("payload", Map()), job.Get("env", Map()))
        for step in steps
            at.Results[step.Id] := RunStep(at, step)
        answer["result"] := at.Results
    } catch Error as problem {
        answer["error"] := EdgeMessage(problem)
        code := 1
    }
    output := FileOpen("*", "w", "UTF-8-RAW")
    output.Write(EdgeWrite(answer))
    output.Close()
    return code
}

; One node: again after a failure as often as it asks, then as its `on_error` says.
RunStep(at, step) {
    at.Seconds := step.TimeoutMs / 1000
    work := step.Work
    attempt := 0
    loop {
        try {
            return work(at)
        } catch Error as problem {
            if (attempt < step.Retry) {
                Sleep(500 * 2 ** attempt)
                attempt += 1
                continue
            }
            if (step.OnError = "continue")
                return Map("error", EdgeMessage(problem))
            throw problem
        }
    }
}

; One line: the rest of a message repeats what the desktop held.
EdgeMessage(problem) {
    return Type(problem) . ": " . StrSplit(problem.Message, "`n", "`r")[1]
}

; One node of the segment.
class EdgeStep {
    __New(id, work, onError, retry, timeoutMs) {
        this.Id := id
        this.Work := work
        this.OnError := onError
        this.Retry := retry
        this.TimeoutMs := timeoutMs
    }
}

; What references can name, and what steps can do.
class EdgeScope {
    ; Keys that a flow may press, as Send spells them.
    static Pressed := Map(
        "Enter", "{Enter}",
        "Tab", "{Tab}",
        "Esc", "{Esc}",
        "Space", "{Space}",
        "Backspace", "{Backspace}",
        "Delete", "{Delete}",
        "Up", "{Up}",
        "Down", "{Down}",
        "Left", "{Left}",
        "Right", "{Right}",
        "Home", "{Home}",
        "End", "{End}",
        "PgUp", "{PgUp}",
        "PgDn", "{PgDn}",
        "F1", "{F1}",
        "F2", "{F2}",
        "F3", "{F3}",
        "F4", "{F4}",
        "F5", "{F5}",
        "F10", "{F10}",
        "F12", "{F12}",
        "^a", "^a",
        "^c", "^c",
        "^f", "^f",
        "^n", "^n",
        "^p", "^p",
        "^s", "^s",
        "^v", "^v"
    )

    __New(payload, env) {
        this.Payload := payload
        this.Env := env
        this.Results := Map()
        this.Seconds := 30
    }

    ; The value of a template as text: {"lit"}, {"ref"} or {"text"}.
    Text(template) {
        for kind, body in template {
            if (kind == "lit")
                return body
            if (kind == "ref")
                return EdgeText(this.Resolve(body))
            joined := ""
            for part in body
                joined .= (part is Array) ? EdgeText(this.Resolve(part)) : part
            return joined
        }
    }

    Resolve(reference) {
        root := reference[1]
        if (root == "payload")
            return this.Payload[reference[2]]
        if (root == "env")
            return this.Env.Has(reference[2]) ? this.Env[reference[2]] : EnvGet(reference[2])
        found := this.Results[root]
        loop reference.Length - 1 {
            key := reference[A_Index + 1]
            found := (found is Array) ? found[Integer(key) + 1] : found[key]
        }
        return found
    }

    WaitWindow(window) {
        if !WinWait(this.Text(window), , this.Seconds)
            throw TimeoutError("the window did not appear")
    }

    Activate(window) {
        title := this.Text(window)
        if !WinExist(title)
            throw TargetError("there is no such window")
        WinActivate(title)
        if !WinWaitActive(title, , this.Seconds)
            throw TimeoutError("the window did not come to the front")
    }

    Close(window) {
        title := this.Text(window)
        WinClose(title)
        if !WinWaitClose(title, , this.Seconds)
            throw TimeoutError("the window did not close")
    }

    ; Starts a program. No shell reads the line, and every argument is quoted.
    Start(path, args) {
        line := EdgeQuote(path)
        for argument in args
            line .= " " . EdgeQuote(this.Text(argument))
        Run(line)
    }

    Type(text) {
        SendText(this.Text(text))
    }

    Keys(names) {
        for name in names
            Send(EdgeScope.Pressed[name])
    }

    SetClipboard(text) {
        A_Clipboard := this.Text(text)
    }

    ReadClipboard() {
        return A_Clipboard
    }
}

; An argument as CommandLineToArgvW takes it apart: backslashes count before a quote only.
EdgeQuote(argument) {
    quoted := "`""
    slashes := 0
    loop parse argument
    {
        if (A_LoopField == "\") {
            slashes += 1
            continue
        }
        if (A_LoopField == "`"")
            slashes := slashes * 2 + 1
        quoted .= EdgeRepeat("\", slashes) . A_LoopField
        slashes := 0
    }
    return quoted . EdgeRepeat("\", slashes * 2) . "`""
}

EdgeRepeat(text, count) {
    repeated := ""
    loop count
        repeated .= text
    return repeated
}

; How a value reads inside a text: text as it stands, nothing for null, else JSON.
EdgeText(found) {
    if (found is String)
        return found
    if (found is EdgeRaw)
        return found.Raw == "null" ? "" : found.Raw
    return EdgeWrite(found)
}

; A number, true, false or null as JSON spells it: AutoHotkey has no type for the last three.
class EdgeRaw {
    __New(raw) {
        this.Raw := raw
    }
}

; A value as JSON.
EdgeWrite(value) {
    if (value is EdgeRaw)
        return value.Raw
    if (value is Map) {
        members := ""
        for key, member in value
            members .= (members == "" ? "" : ",") . EdgeWriteText(key) . ":" . EdgeWrite(member)
        return "{" . members . "}"
    }
    if (value is Array) {
        items := ""
        for index, item in value
            items .= (index == 1 ? "" : ",") . EdgeWrite(item)
        return "[" . items . "]"
    }
    return EdgeWriteText(String(value))
}

EdgeWriteText(text) {
    written := ""
    loop parse text
    {
        code := Ord(A_LoopField)
        if (A_LoopField == "`"" || A_LoopField == "\")
            written .= "\" . A_LoopField
        else if (code < 0x20)
            written .= Format("\u{:04x}", code)
        else
            written .= A_LoopField
    }
    return "`"" . written . "`""
}

; A reader of JSON (RFC 8259).
class EdgeJson {
    __New(text) {
        this.Rest := text
        this.At := 1
    }

    ; The value at the current place.
    Read() {
        this.Skip()
        c := SubStr(this.Rest, this.At, 1)
        if (c == "{")
            return this.ReadObject()
        if (c == "[")
            return this.ReadArray()
        if (c == "`"")
            return this.ReadText()
        if !RegExMatch(this.Rest, "A)(true|false|null|-?\d+(\.\d+)?([eE][-+]?\d+)?)", &word, this.At)
            throw ValueError("the job is not JSON")
        this.At += StrLen(word[0])
        return EdgeRaw(word[0])
    }

    ReadObject() {
        members := Map()
        this.Expect("{")
        if this.Takes("}")
            return members
        loop {
            this.Skip()
            key := this.ReadText()
            this.Expect(":")
            members[key] := this.Read()
            if !this.Takes(",")
                break
        }
        this.Expect("}")
        return members
    }

    ReadArray() {
        items := []
        this.Expect("[")
        if this.Takes("]")
            return items
        loop {
            items.Push(this.Read())
            if !this.Takes(",")
                break
        }
        this.Expect("]")
        return items
    }

    ReadText() {
        static short := Map("b", "`b", "f", "`f", "n", "`n", "r", "`r", "t", "`t")
        text := ""
        this.Expect("`"")
        loop {
            c := SubStr(this.Rest, this.At, 1)
            this.At += 1
            if (c == "`"")
                return text
            if (c == "")
                throw ValueError("the job is not JSON")
            if (c != "\") {
                text .= c
                continue
            }
            c := SubStr(this.Rest, this.At, 1)
            this.At += 1
            if (c == "u") {
                ; Chr of each half of a surrogate pair: the two halves stand beside each other.
                text .= Chr(Integer("0x" . SubStr(this.Rest, this.At, 4)))
                this.At += 4
            } else {
                text .= short.Get(c, c)
            }
        }
    }

    Skip() {
        RegExMatch(this.Rest, "A)\s*", &blank, this.At)
        this.At += StrLen(blank[0])
    }

    Takes(c) {
        this.Skip()
        if (SubStr(this.Rest, this.At, 1) != c)
            return false
        this.At += 1
        return true
    }

    Expect(c) {
        if !this.Takes(c)
            throw ValueError("the job is not JSON")
    }
}
