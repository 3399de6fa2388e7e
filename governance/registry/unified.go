package registry

import (
	"fmt"
	"strings"
)

// contextLines is how many equal lines stand around a change.
const contextLines = 3

// UnifiedText is the difference of two texts by line, for people: the usual unified format, without the names of files; ""
// when they are equal. Texts that differ in very many lines are shown as replaced whole.
func UnifiedText(a, b []byte) string {
	if string(a) == string(b) {
		return ""
	}
	ops := diffLines(lines(a), lines(b))
	var out strings.Builder
	for from := 0; from < len(ops); {
		if ops[from].kind == ' ' {
			from++
			continue
		}
		first := max(0, from-contextLines)
		to, equal := from, 0
		for i := from; i < len(ops) && equal <= 2*contextLines; i++ {
			if ops[i].kind == ' ' {
				equal++
			} else {
				equal, to = 0, i+1
			}
		}
		end := min(len(ops), to+contextLines)
		hunk(&out, ops, first, end)
		from = end
	}
	return out.String()
}

// lineOp is a line that stays (' '), goes ('-') or comes ('+').
type lineOp struct {
	kind byte
	text string
}

// hunk writes ops[first:end] with its header.
func hunk(out *strings.Builder, ops []lineOp, first, end int) {
	lineA, lineB := 1, 1
	for _, op := range ops[:first] {
		if op.kind != '+' {
			lineA++
		}
		if op.kind != '-' {
			lineB++
		}
	}
	countA, countB := 0, 0
	for _, op := range ops[first:end] {
		if op.kind != '+' {
			countA++
		}
		if op.kind != '-' {
			countB++
		}
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(lineA, countA), span(lineB, countB))
	for _, op := range ops[first:end] {
		out.WriteByte(op.kind)
		out.WriteString(op.text)
		if !strings.HasSuffix(op.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func span(line, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", line-1)
	case 1:
		return fmt.Sprint(line)
	}
	return fmt.Sprintf("%d,%d", line, count)
}

func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	out := strings.SplitAfter(string(text), "\n")
	if out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// mostCells bounds the table of the comparison: 16 MB.
const mostCells = 4 << 20

// diffLines finds a longest common subsequence of the lines between the equal ones at both ends.
func diffLines(a, b []string) []lineOp {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	var ops []lineOp
	for _, l := range a[:start] {
		ops = append(ops, lineOp{' ', l})
	}
	ops = append(ops, changed(a[start:len(a)-end], b[start:len(b)-end])...)
	for _, l := range a[len(a)-end:] {
		ops = append(ops, lineOp{' ', l})
	}
	return ops
}

func changed(a, b []string) (ops []lineOp) {
	var common [][]int32
	if (len(a)+1)*(len(b)+1) <= mostCells {
		common = longest(a, b)
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case common != nil && i < len(a) && j < len(b) && a[i] == b[j]:
			ops = append(ops, lineOp{' ', a[i]})
			i++
			j++
		case i < len(a) && (common == nil || j == len(b) || common[i+1][j] >= common[i][j+1]):
			ops = append(ops, lineOp{'-', a[i]})
			i++
		default:
			ops = append(ops, lineOp{'+', b[j]})
			j++
		}
	}
	return ops
}

// longest returns for each i and j how many lines a[i:] and b[j:] have in common, in order.
func longest(a, b []string) [][]int32 {
	rows := make([][]int32, len(a)+1)
	cells := make([]int32, (len(a)+1)*(len(b)+1))
	for i := range rows {
		rows[i] = cells[i*(len(b)+1) : (i+1)*(len(b)+1)]
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				rows[i][j] = rows[i+1][j+1] + 1
			} else {
				rows[i][j] = max(rows[i+1][j], rows[i][j+1])
			}
		}
	}
	return rows
}
