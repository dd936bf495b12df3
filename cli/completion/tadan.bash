# SPDX-License-Identifier: BSD-2-Clause
# Completion of the command tadan for bash. What there is comes from tadan itself: its lists, and the help of its commands.

_tadan_names()
{
	tadan "$1" --json 2>/dev/null | sed -n 's/^ *"'"$2"'": "\(.*\)",\{0,1\}$/\1/p'
}

# The commands that the help lists, of tadan itself or of `tadan bench`.
_tadan_commands()
{
	tadan "$@" --help 2>/dev/null | sed -n 's/^ \{2,4\}\(tadan \)\{0,1\}\([a-z][a-z]*\)\(  .*\)\{0,1\}$/\2/p'
}

_tadan_options()
{
	tadan "$@" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u
}

_tadan_reply()
{
	mapfile -t COMPREPLY < <(compgen "$@")
}

# The value of an option, whichever command has it. False: that option has none, or none that is known.
_tadan_value()
{
	case $1 in
	--image | -i | --output | -o | --csv | --plot | --tree | --build) _tadan_reply -f -- "$2" ;;
	--json) [[ ${COMP_WORDS[1]} == bench ]] && _tadan_reply -f -- "$2" ;;
	--level | -l) _tadan_reply -W "$(_tadan_names levels name) auto" -- "$2" ;;
	--module | -m) _tadan_reply -W "$(_tadan_names modules name)" -- "$2" ;;
	--pin) _tadan_reply -W "one none" -- "$2" ;;
	--front) _tadan_reply -W "inproc fuse" -- "$2" ;;
	--kinds | -k) _tadan_reply -W "planted machine list" -- "$2" ;;
	--size | -s | --max-files | -n | --commit | -c | --cache | -k | --device-timeout | -t | --options | -O | --trials | --first | --seed | --jobs | -j | --soak | --rounds | --replay) ;;
	*) return 1 ;;
	esac
}

# A module: the name of one that is known, or a file.
_tadan_module()
{
	if [[ $1 == */* ]]; then
		_tadan_reply -f -- "$1"
	else
		_tadan_reply -f -W "$(_tadan_names modules name)" -- "$1"
	fi
}

_tadan_word()
{
	local IFS=$'\n'

	case ${COMP_WORDS[1]}:$COMP_CWORD in
	mount:2 | lab:2 | verify:2) _tadan_module "$1" ;;
	mount:*) _tadan_reply -d -- "$1" ;;
	level:3) _tadan_reply -W "$(_tadan_names levels name)"$'\n'auto -- "$1" ;;
	umount:* | status:* | level:* | faults:*) _tadan_reply -W "$(_tadan_names status dir)" -- "$1" ;;
	bench:2) _tadan_reply -W "$(_tadan_commands bench)" -- "$1" ;;
	help:2) _tadan_reply -W "$(_tadan_commands)" -- "$1" ;;
	build:* | bench:* | check:*) _tadan_reply -f -- "$1" ;;
	esac
}

_tadan()
{
	local word=${COMP_WORDS[COMP_CWORD]} command=("${COMP_WORDS[1]}")

	compopt -o filenames 2>/dev/null
	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		_tadan_reply -W "$(_tadan_commands) help" -- "$word"
		return
	fi
	_tadan_value "${COMP_WORDS[COMP_CWORD - 1]}" "$word" && return
	[[ ${command[0]} == bench && $COMP_CWORD -gt 2 ]] && command+=("${COMP_WORDS[2]}")
	if [[ $word == -* ]]; then
		_tadan_reply -W "$(_tadan_options "${command[@]}")" -- "$word"
	else
		_tadan_word "$word"
	fi
}

complete -F _tadan tadan
