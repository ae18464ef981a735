"""Two real clusters for the end-to-end story: stock kind where an image can be pulled, the same kind elsewhere.

Order of search:
1. the Docker that answers (`DOCKER_HOST`, or the default socket), else, for root on Debian, a dockerd of our own from
   Debian's packages;
2. kind of the pinned version on the PATH, else built;
3. kind's stock node image where Docker can pull it, else, for root on Debian, one built here (20 minutes on two cores,
   once; a minute when only its recipe changed).

`make lab` and `make lab-down` are this alone; `up` and `down` are what the story calls.
"""
