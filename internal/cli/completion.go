package cli

import (
	"fmt"
	"io"
	"strings"
)

// Verb is what shell completion knows of one verb.
type Verb struct {
	Name, Help string
	Flags      []Flag
	Words      []string // what its first argument may be; empty: free
	Resource   bool     // an argument names a resource: `sluice get resources -o name` lists them
	Files      bool     // its arguments are files
}

// Flag is one option of a verb.
type Flag struct {
	Name, Help string
	Values     []string // what it may be; nil: free
	Bool       bool     // it takes no value
}

// Completion writes the completion script of a shell.
func Completion(w io.Writer, shell string, verbs []Verb) error {
	var b strings.Builder
	switch shell {
	case "bash":
		bash(&b, verbs)
	case "zsh":
		zsh(&b, verbs)
	case "fish":
		fish(&b, verbs)
	default:
		return &UsageError{fmt.Sprintf("unknown shell %q: use bash, zsh or fish", shell)}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func names(verbs []Verb) []string {
	out := make([]string, len(verbs))
	for i, v := range verbs {
		out[i] = v.Name
	}
	return out
}

func bash(b *strings.Builder, verbs []Verb) {
	b.WriteString("# bash completion for sluice. Load it: source <(sluice completion bash)\n")
	b.WriteString("_sluice() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n    COMPREPLY=()\n")
	fmt.Fprintf(b, "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W %q -- \"$cur\"))\n        return\n    fi\n", strings.Join(names(verbs), " "))
	b.WriteString("    case \"$verb $prev\" in\n")
	for _, v := range verbs {
		for _, f := range v.Flags {
			if f.Values != nil {
				fmt.Fprintf(b, "    \"%s --%s\") COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", v.Name, f.Name, strings.Join(f.Values, " "))
			}
		}
	}
	b.WriteString("    esac\n    case \"$verb\" in\n")
	for _, v := range verbs {
		var flags []string
		for _, f := range v.Flags {
			flags = append(flags, "--"+f.Name)
		}
		fmt.Fprintf(b, "    %s)\n        case \"$cur\" in -*) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;; esac\n", v.Name, strings.Join(flags, " "))
		words := strings.Join(v.Words, " ")
		switch {
		case words != "":
			fmt.Fprintf(b, "        if [ \"$COMP_CWORD\" -eq 2 ]; then COMPREPLY=($(compgen -W %q -- \"$cur\")); return; fi\n", words)
		case v.Files:
			b.WriteString("        COMPREPLY=($(compgen -f -- \"$cur\")); return\n")
		}
		if v.Resource {
			b.WriteString("        COMPREPLY=($(compgen -W \"$(sluice get resources -o name 2>/dev/null)\" -- \"$cur\"))\n")
		}
		b.WriteString("        ;;\n")
	}
	b.WriteString("    esac\n}\ncomplete -F _sluice sluice\n")
}

func zsh(b *strings.Builder, verbs []Verb) {
	b.WriteString("#compdef sluice\n# zsh completion for sluice. Load it: source <(sluice completion zsh)\n_sluice() {\n    local -a verbs\n    verbs=(\n")
	for _, v := range verbs {
		fmt.Fprintf(b, "        %s\n", single(v.Name+":"+v.Help))
	}
	b.WriteString("    )\n    if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n    case $words[2] in\n")
	for _, v := range verbs {
		fmt.Fprintf(b, "    %s)\n        _arguments -S", v.Name)
		for _, f := range v.Flags {
			spec := "--" + f.Name
			help := strings.NewReplacer("[", "(", "]", ")", ":", ",").Replace(f.Help)
			switch {
			case f.Bool:
				spec += "[" + help + "]"
			case f.Values != nil:
				spec += "=[" + help + "]:value:(" + strings.Join(f.Values, " ") + ")"
			default:
				spec += "=[" + help + "]:value: "
			}
			b.WriteString(" \\\n            " + single(spec))
		}
		rest := "*: :"
		switch {
		case len(v.Words) > 0:
			b.WriteString(" \\\n            " + single("2:what:("+strings.Join(v.Words, " ")+")"))
		case v.Files:
			rest = "*:file:_files"
		}
		if v.Resource {
			rest = "*:resource:($(sluice get resources -o name 2>/dev/null))"
		}
		b.WriteString(" \\\n            " + single(rest) + "\n        ;;\n")
	}
	b.WriteString("    esac\n}\ncompdef _sluice sluice\n")
}

func fish(b *strings.Builder, verbs []Verb) {
	b.WriteString("# fish completion for sluice. Load it: sluice completion fish | source\ncomplete -c sluice -f\n")
	for _, v := range verbs {
		fmt.Fprintf(b, "complete -c sluice -n __fish_use_subcommand -a %s -d %s\n", v.Name, single(v.Help))
	}
	for _, v := range verbs {
		on := single("__fish_seen_subcommand_from " + v.Name)
		for _, f := range v.Flags {
			fmt.Fprintf(b, "complete -c sluice -n %s -l %s -d %s", on, f.Name, single(f.Help))
			switch {
			case f.Values != nil:
				fmt.Fprintf(b, " -x -a %s", single(strings.Join(f.Values, " ")))
			case !f.Bool:
				b.WriteString(" -r")
			}
			b.WriteByte('\n')
		}
		switch {
		case len(v.Words) > 0:
			fmt.Fprintf(b, "complete -c sluice -n %s -a %s\n", on, single(strings.Join(v.Words, " ")))
		case v.Files:
			fmt.Fprintf(b, "complete -c sluice -n %s -F\n", on)
		}
		if v.Resource {
			fmt.Fprintf(b, "complete -c sluice -n %s -a '(sluice get resources -o name 2>/dev/null)'\n", on)
		}
	}
}

// single quotes s for a shell.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
