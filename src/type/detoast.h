/*-------------------------------------------------------------------------
 *
 * detoast.h
 *	  Arguments of functions that are called over and over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_DETOAST_H
#define DESCARTES_DETOAST_H

#include "fmgr.h"

extern struct varlena *detoast_argument(FunctionCallInfo fcinfo, int argno);

#endif							/* DESCARTES_DETOAST_H */
