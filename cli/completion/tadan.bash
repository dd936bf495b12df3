# SPDX-License-Identifier: BSD-2-Clause
# Completion of the command tadan for bash. What there is comes from tadan itself.

_tadan_names()
{
	tadan "$1" --json 2>/dev/null | sed -n 's/^ *"'"$2"'": "\(.*\)",\{0,1\}$/\1/p'
}

_tadan_reply()
{
	mapfile -t COMPREPLY < <(compgen "$@")
}

_tadan_mounts()
{
	local IFS=$'\n'

	_tadan_reply -W "$(_tadan_names status dir)" -- "$1"
}

_tadan_mount()
{
	case $2 in
	--image | -i) _tadan_reply -f -- "$1" ;;
	--level | -l) _tadan_reply -W "$(_tadan_names levels name) auto" -- "$1" ;;
	--size | -s | --max-files | -n | --commit | -c | --options | -O) ;;
	*)
		if [[ $1 == -* ]]; then
			_tadan_reply -W "--size --image --level --foreground --allow-other --read-only \
				--writeback --no-xattrs --max-files --commit --options --help" -- "$1"
		elif [[ $3 -eq 2 && $1 != */* ]]; then
			_tadan_reply -W "$(_tadan_names modules name)" -- "$1"
		elif [[ $3 -eq 2 ]]; then
			_tadan_reply -f -- "$1"
		else
			_tadan_reply -d -- "$1"
		fi
		;;
	esac
}

_tadan_bench()
{
	local options="--quick --rounds --pin --json --csv --plot --help"

	if [[ $3 -eq 2 ]]; then
		_tadan_reply -W "protection gates levels yields hook compare --help" -- "$1"
		return
	fi
	case $2 in
	--json | --csv | --plot) _tadan_reply -f -- "$1" ;;
	--pin) _tadan_reply -W "one none" -- "$1" ;;
	--front) _tadan_reply -W "inproc fuse" -- "$1" ;;
	--level) _tadan_reply -W "$(_tadan_names levels name)" -- "$1" ;;
	--module) _tadan_reply -W "smfs snfs" -- "$1" ;;
	*)
		case ${COMP_WORDS[2]} in
		protection) options+=" --module --front --server" ;;
		levels) options+=" --level --workload --no-peers" ;;
		compare) options="--threshold --json --help" ;;
		esac
		if [[ $1 == -* ]]; then
			_tadan_reply -W "$options" -- "$1"
		else
			_tadan_reply -f -- "$1"
		fi
		;;
	esac
}

_tadan()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options="--help"

	compopt -o filenames 2>/dev/null
	if [[ $COMP_CWORD -eq 1 ]]; then
		_tadan_reply -W "mount umount status level faults levels modules build verify demo bench version help" -- "$word"
		return
	fi
	case ${COMP_WORDS[1]} in
	mount)
		_tadan_mount "$word" "$before" "$COMP_CWORD"
		return
		;;
	levels | modules | verify) options="--json --help" ;;
	status) options="--json --check --help" ;;
	bench)
		_tadan_bench "$word" "$before" "$COMP_CWORD"
		return
		;;
	faults) options="--json --follow --help" ;;
	umount) options="--force --help" ;;
	esac
	if [[ $word == -* ]]; then
		_tadan_reply -W "$options" -- "$word"
	elif [[ ${COMP_WORDS[1]} == level && $COMP_CWORD -eq 3 ]]; then
		_tadan_reply -W "$(_tadan_names levels name) auto" -- "$word"
	elif [[ ${COMP_WORDS[1]} == verify && $word != */* ]]; then
		_tadan_reply -f -W "$(_tadan_names modules name)" -- "$word"
	elif [[ ${COMP_WORDS[1]} == verify ]]; then
		_tadan_reply -f -- "$word"
	elif [[ ${COMP_WORDS[1]} =~ ^(umount|status|level|faults)$ ]]; then
		_tadan_mounts "$word"
	fi
}

complete -F _tadan tadan
